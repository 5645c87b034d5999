import Box from '@mui/material/Box';
import { generateForm } from '@rjsf/mui';
import type { ErrorSchema, RJSFSchema } from '@rjsf/utils';
import { useMemo, type ReactNode } from 'react';
import type { CommandType, Vehicle } from '../../api/client';
import { EcuAddressWidget, type FormContext } from './EcuAddressWidget';
import { FORM_TEMPLATES } from './formTemplates';
import { parameterUi } from './parameterLabels';
import { schemaValidator, type Params } from './schemaValidator';

const Form = generateForm<Params, RJSFSchema, FormContext>();
/** Lists are part of the form, not cards upon it. */
const FLAT = { '& .MuiPaper-root': { boxShadow: 'none' }, '& .MuiPaper-root > .MuiBox-root': { p: 0 } };
const WIDGETS = { EcuAddress: EcuAddressWidget };
const NO_ECUS: Vehicle['ecus'] = [];

interface ParameterFormProps {
  type: CommandType;
  vehicle: Vehicle | null;
  params: Params;
  /** What the server found wrong. */
  serverErrors: ErrorSchema<Params> | undefined;
  onChange: (params: Params) => void;
  onSubmit: () => void;
  children: ReactNode;
}

/** The form of a command type, made from its JSON Schema. */
export function ParameterForm({
  type,
  vehicle,
  params,
  serverErrors,
  onChange,
  onSubmit,
  children,
}: ParameterFormProps) {
  const schema = useMemo(() => formSchema(type.parameters_schema as RJSFSchema), [type]);
  const uiSchema = useMemo(() => parameterUi(schema), [schema]);
  const formContext: FormContext = { ecus: vehicle?.ecus ?? NO_ECUS };
  return (
    <Box sx={FLAT}>
      <Form
        schema={schema}
        uiSchema={uiSchema}
        validator={schemaValidator}
        widgets={WIDGETS}
        templates={FORM_TEMPLATES}
        formContext={formContext}
        formData={params}
        extraErrors={serverErrors}
        extraErrorsBlockSubmit={false}
        showErrorList={false}
        focusOnFirstError
        noHtml5Validate
        onChange={({ formData }) => onChange(formData ?? {})}
        onSubmit={onSubmit}
        // What is wrong stands at the fields; without this, it would be written to the console as well.
        onError={() => undefined}
      >
        {children}
      </Form>
    </Box>
  );
}

/** Without the name of the draft, which the form library would look up. */
function formSchema(schema: RJSFSchema): RJSFSchema {
  return Object.fromEntries(Object.entries(schema).filter(([keyword]) => keyword !== '$schema'));
}
