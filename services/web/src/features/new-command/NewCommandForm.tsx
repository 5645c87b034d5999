import Alert from '@mui/material/Alert';
import Button from '@mui/material/Button';
import Stack from '@mui/material/Stack';
import { useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { pages } from '../../app/pages';
import type { CommandType, Vehicle } from '../../api/client';
import { describeProblem } from '../../api/problem';
import { vehicleQuery } from '../vehicles/queries';
import { CommandTypePicker } from './CommandTypePicker';
import { LockNotice } from './LockNotice';
import { OfflineNotice } from './OfflineNotice';
import { OptionFields } from './OptionFields';
import { checkOptions, DEFAULT_OPTIONS, optionsBody } from './options';
import { ParameterForm } from './ParameterForm';
import { keepShared } from './keepShared';
import type { Params } from './schemaValidator';
import { parameterErrors } from './serverErrors';
import { PreconditionList } from './PreconditionList';
import { SubmitConfirmation } from './SubmitConfirmation';
import { useSubmit } from './useSubmit';
import { VehiclePicker } from '../vehicles/VehiclePicker';

export interface NewCommandFormProps {
  types: readonly CommandType[];
  initialVehicle: Vehicle | null;
  initialType: string;
  initialParams: Params;
}

export function NewCommandForm({ types, initialVehicle, initialType, initialParams }: NewCommandFormProps) {
  const [chosen, setChosen] = useState(initialVehicle);
  const [typeName, setTypeName] = useState(initialType);
  const [params, setParams] = useState(initialParams);
  const [asked, setAsked] = useState(false);
  const vehicle = useLiveVehicle(chosen);
  const problem = asked && vehicle === null ? 'Choose the vehicle' : undefined;
  const type = types.find(({ name }) => name === typeName);
  useEffect(() => {
    // So that nothing but the vehicle is waited for after a click on "Send".
    void pages.command();
  }, []);
  const chooseType = (name: string) => {
    setTypeName(name);
    setParams(
      keepShared(
        params,
        types.find((each) => each.name === name),
      ),
    );
  };
  return (
    <Stack sx={{ gap: 2.5 }}>
      <VehiclePicker vehicle={vehicle} onChange={setChosen} problem={problem} required />
      <CommandTypePicker types={types} type={type} onChange={chooseType} />
      {type !== undefined && (
        <Details
          key={type.name}
          type={type}
          vehicle={vehicle}
          params={params}
          onParams={setParams}
          onVehicleMissing={() => setAsked(true)}
        />
      )}
    </Stack>
  );
}

interface DetailsProps {
  type: CommandType;
  vehicle: Vehicle | null;
  params: Params;
  onParams: (params: Params) => void;
  onVehicleMissing: () => void;
}

/** What depends on the command type: its parameters, options, and sending it. */
function Details({ type, vehicle, params, onParams, onVehicleMissing }: DetailsProps) {
  const [options, setOptions] = useState(DEFAULT_OPTIONS);
  const [confirming, setConfirming] = useState(false);
  const { submit, busy, error, reset } = useSubmit();
  const optionErrors = checkOptions(options);
  const fieldErrors = parameterErrors(error);
  const send = () => {
    setConfirming(false);
    if (vehicle === null) return;
    submit({
      vehicle_id: vehicle.vehicle_id,
      command_name: type.name,
      command_params: params,
      ...optionsBody(options),
    });
  };
  const ask = () => {
    if (vehicle === null) onVehicleMissing();
    else if (Object.keys(optionErrors).length === 0) {
      if (type.repeatable) send();
      else setConfirming(true);
    }
  };
  const change = (changed: Params) => {
    reset();
    onParams(changed);
  };
  return (
    <ParameterForm
      type={type}
      vehicle={vehicle}
      params={params}
      serverErrors={fieldErrors}
      onChange={change}
      onSubmit={ask}
    >
      <Stack sx={{ gap: 2.5, mt: 2 }}>
        <OptionFields
          options={options}
          errors={optionErrors}
          defaultTimeout={type.default_timeout_seconds}
          onChange={setOptions}
        />
        <PreconditionList type={type} params={params} />
        {vehicle !== null && <LockNotice vehicle={vehicle} type={type} />}
        {vehicle !== null && <OfflineNotice vehicle={vehicle} expirySeconds={options.expiry} />}
        {error !== null && <Alert severity="error">{describeProblem(error)}</Alert>}
        <Button
          type="submit"
          variant="contained"
          size="large"

          loading={busy}
          sx={{ alignSelf: 'start' }}
        >
          {vehicle?.connection_status === 'offline' ? 'Send, to run when it returns' : 'Send'}
        </Button>
      </Stack>
      {vehicle !== null && (
        <SubmitConfirmation
          open={confirming}
          type={type}
          vehicle={vehicle}
          params={params}
          onConfirm={send}
          onClose={() => setConfirming(false)}
        />
      )}
    </ParameterForm>
  );
}

/** The chosen vehicle with its connection as it is now. */
function useLiveVehicle(chosen: Vehicle | null): Vehicle | null {
  const { data } = useQuery({ ...vehicleQuery(chosen?.vehicle_id ?? ''), enabled: chosen !== null });
  return chosen === null ? null : (data ?? chosen);
}
