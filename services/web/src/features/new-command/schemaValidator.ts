/**
 * Validates parameters in the browser, by the JSON Schema of the catalogue.
 *
 * The form library's own validator compiles schemas to code, which the Content-Security-Policy forbids; this one
 * interprets them. The server validates again, and has the last word.
 */
import { Validator, type OutputUnit, type Schema } from '@cfworker/json-schema';
import {
  createErrorHandler,
  toErrorSchema,
  unwrapErrorHandler,
  validationDataMerge,
  type CustomValidator,
  type ErrorTransformer,
  type RJSFSchema,
  type RJSFValidationError,
  type UiSchema,
  type ValidationData,
  type ValidatorType,
} from '@rjsf/utils';

export type Params = Record<string, unknown>;

const DRAFT = '2020-12';
/** These only say that something below them is wrong, which is reported itself. */
const WRAPPERS = new Set(['properties', 'items', 'prefixItems', 'allOf', '$ref', 'if', 'then', 'else']);

class InterpretingValidator implements ValidatorType<Params> {
  validateFormData(
    formData: Params | undefined,
    schema: RJSFSchema,
    customValidate?: CustomValidator<Params>,
    transformErrors?: ErrorTransformer<Params>,
    uiSchema?: UiSchema<Params>,
  ): ValidationData<Params> {
    const found = findErrors(schema, formData);
    const errors = transformErrors === undefined ? found : transformErrors(found, uiSchema);
    const result = { errors, errorSchema: toErrorSchema<Params>(errors) };
    if (customValidate === undefined) return result;
    const handler = customValidate(formData, createErrorHandler<Params>(formData ?? {}), uiSchema, result.errorSchema);
    return validationDataMerge<Params>(result, unwrapErrorHandler<Params>(handler));
  }

  isValid(schema: RJSFSchema, formData: Params | undefined): boolean {
    return new Validator(schema as Schema, DRAFT).validate(formData ?? {}).valid;
  }

  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- the library's interface
  rawValidation<Result>(schema: RJSFSchema, formData?: Params): { errors: Result[] } {
    return { errors: findErrors(schema, formData) as Result[] };
  }
}

function findErrors(schema: RJSFSchema, formData: Params | undefined): RJSFValidationError[] {
  const { errors } = new Validator(schema as Schema, DRAFT, false).validate(formData ?? {});
  return errors.filter(({ keyword }) => !WRAPPERS.has(keyword)).map((error) => toFormError(error, schema));
}

function toFormError({ keyword, instanceLocation, error }: OutputUnit, schema: RJSFSchema): RJSFValidationError {
  const path = instanceLocation.split('/').slice(1).map(decodePointer);
  const missing = keyword === 'required' ? /property "(.+)"/.exec(error)?.[1] : undefined;
  const full = missing === undefined ? path : [...path, missing];
  const message = missing === undefined ? explain(keyword, error, full, schema) : 'is needed';
  return { name: keyword, message, property: `.${full.join('.')}`, stack: `${full.join('.')} ${message}` };
}

function explain(keyword: string, error: string, path: readonly string[], schema: RJSFSchema): string {
  if (keyword !== 'pattern') return error;
  const description = schemaAt(schema, path)?.description;
  return description === undefined ? error : `should be: ${description}`;
}

function schemaAt(schema: RJSFSchema | undefined, path: readonly string[]): RJSFSchema | undefined {
  const [first, ...rest] = path;
  if (first === undefined || schema === undefined) return schema;
  const next =
    schema.properties?.[first] ?? (/^\d+$/.test(first) ? (schema.items as RJSFSchema | undefined) : undefined);
  return typeof next === 'object' ? schemaAt(next, rest) : undefined;
}

function decodePointer(part: string): string {
  return decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
}

export const schemaValidator = new InterpretingValidator();
