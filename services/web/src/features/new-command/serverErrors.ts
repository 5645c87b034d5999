import { toErrorSchema, type ErrorSchema } from '@rjsf/utils';
import { ApiProblem } from '../../api/problem';
import type { Params } from './schemaValidator';

const PREFIX = /^(body\.)?command_params\.?/;

/** What the server found wrong with parameters, for the fields of the form. */
export function parameterErrors(error: unknown): ErrorSchema<Params> | undefined {
  if (!(error instanceof ApiProblem)) return undefined;
  const found = [...error.fieldErrors].filter(([field]) => PREFIX.test(field));
  if (found.length === 0) return undefined;
  return toErrorSchema<Params>(
    found.map(([field, message]) => ({ property: `.${field.replace(PREFIX, '')}`, message, stack: message })),
  );
}
