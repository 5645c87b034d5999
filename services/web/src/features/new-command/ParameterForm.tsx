import Typography from '@mui/material/Typography';
import { generateForm } from '@rjsf/mui';
import type { DescriptionFieldProps, ErrorSchema, RJSFSchema } from '@rjsf/utils';
import { useMemo, type ReactNode } from 'react';
import type { CommandType, Vehicle } from '../../api/client';
import { EcuAddressWidget, type FormContext } from './EcuAddressWidget';
import { parameterUi } from './parameterLabels';
import { schemaValidator, type Params } from './schemaValidator';

const Form = generateForm<Params, RJSFSchema, FormContext>();
const TEMPLATES = { DescriptionFieldTemplate: ParameterDescription };
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
    <Form
      schema={schema}
      uiSchema={uiSchema}
      validator={schemaValidator}
      widgets={WIDGETS}
      templates={TEMPLATES}
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
  );
}

/** The library would make it a heading. */
function ParameterDescription({ id, description }: DescriptionFieldProps) {
  if (description === undefined || description === '') return null;
  return (
    <Typography id={id} variant="caption" color="textSecondary" component="div" sx={{ px: 1.75, pt: 0.5 }}>
      {description}
    </Typography>
  );
}

/** Without the name of the draft, which the form library would look up. */
function formSchema(schema: RJSFSchema): RJSFSchema {
  return Object.fromEntries(Object.entries(schema).filter(([keyword]) => keyword !== '$schema'));
}
