import { render, screen } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { useState } from 'react';
import { expect, it, vi } from 'vitest';
import { ApiProblem } from '../../api/problem';
import { aCommandType, aVehicle } from '../../testing/samples';
import { ParameterForm } from './ParameterForm';
import type { Params } from './schemaValidator';
import { parameterErrors } from './serverErrors';

function Form({ onSubmit, problem }: { onSubmit: (params: Params) => void; problem?: ApiProblem }) {
  const [params, setParams] = useState<Params>({});
  return (
    <ParameterForm
      type={aCommandType()}
      vehicle={aVehicle()}
      params={params}
      serverErrors={parameterErrors(problem)}
      onChange={setParams}
      onSubmit={() => onSubmit(params)}
    >
      <button type="submit">Send</button>
    </ParameterForm>
  );
}

const field = () => screen.getByRole('combobox', { name: /ECU address/ });
const send = () => userEvent.click(screen.getByRole('button', { name: 'Send' }));

it('offers the ECUs of the vehicle and sends what is chosen', async () => {
  const onSubmit = vi.fn();
  render(<Form onSubmit={onSubmit} />);
  await userEvent.click(field());
  await userEvent.click(screen.getByRole('option', { name: '0x10 · ECM' }));
  await send();
  expect(onSubmit).toHaveBeenCalledExactlyOnceWith({ ecuAddress: '0x10' });
});

it('takes the name of an ECU for its address', async () => {
  const onSubmit = vi.fn();
  render(<Form onSubmit={onSubmit} />);
  await userEvent.type(field(), 'ecm');
  expect(screen.getByRole('option', { name: '0x10 · ECM' })).toBeVisible();
  await userEvent.tab();
  expect(field()).toHaveValue('0x10');
  await send();
  expect(onSubmit).toHaveBeenCalledExactlyOnceWith({ ecuAddress: '0x10' });
});

it('says at the field what is wrong with it, and sends nothing', async () => {
  const onSubmit = vi.fn();
  render(<Form onSubmit={onSubmit} />);
  await userEvent.type(field(), 'sixteen');
  await send();
  expect(await screen.findByText('should be: Address of the ECU')).toBeVisible();
  expect(onSubmit).not.toHaveBeenCalled();
});

it('shows at the field what the server found wrong', () => {
  const details = { errors: [{ field: 'command_params.ecuAddress', problem: 'is not an ECU of this vehicle' }] };
  const problem = new ApiProblem(422, { code: 'INVALID_PARAMETERS', detail: 'wrong', details });
  render(<Form onSubmit={vi.fn()} problem={problem} />);
  expect(screen.getByText('is not an ECU of this vehicle')).toBeVisible();
  expect(field()).toBeInvalid();
});
