import type { RJSFSchema } from '@rjsf/utils';
import { describe, expect, it } from 'vitest';
import { ApiProblem } from '../../api/problem';
import { schemaValidator, type Params } from './schemaValidator';
import { parameterErrors } from './serverErrors';
import { parameterLabel } from './parameterLabels';

const SCHEMA: RJSFSchema = {
  type: 'object',
  properties: {
    ecuAddress: { type: 'string', pattern: '^0x[0-9A-F]{1,8}$', description: '0x and digits' },
    dataIds: { type: 'array', items: { type: 'string', pattern: '^0x', description: 'an id' }, minItems: 1 },
    duration_s: { type: 'number', exclusiveMinimum: 0 },
  },
  required: ['ecuAddress'],
  additionalProperties: false,
};

const errors = (params: Params) =>
  schemaValidator.validateFormData(params, SCHEMA).errors.map(({ property, message }) => [property, message]);

describe('schemaValidator', () => {
  it('takes what is right', () => {
    expect(errors({ ecuAddress: '0x10', dataIds: ['0x1'], duration_s: 1 })).toEqual([]);
    expect(schemaValidator.isValid(SCHEMA, { ecuAddress: '0x10' })).toBe(true);
  });

  it('says what is missing, at its field', () => {
    expect(errors({})).toEqual([['.ecuAddress', 'is needed']]);
  });

  it('explains a pattern by its description', () => {
    expect(errors({ ecuAddress: 'sixteen' })).toEqual([['.ecuAddress', 'should be: 0x and digits']]);
    expect(errors({ ecuAddress: '0x10', dataIds: ['0x1', 'b'] })).toEqual([['.dataIds.1', 'should be: an id']]);
  });

  it('checks numbers', () => {
    expect(errors({ ecuAddress: '0x10', duration_s: 0 })[0]?.[0]).toBe('.duration_s');
  });
});

describe('parameterErrors', () => {
  it('finds the fields that the server names', () => {
    const details = { errors: [{ field: 'command_params.ecuAddress', problem: 'is odd' }] };
    const problem = new ApiProblem(422, { code: 'INVALID_PARAMETERS', detail: 'ReadDTC: is odd', details });
    expect(parameterErrors(problem)).toEqual({ ecuAddress: { __errors: ['is odd'] } });
  });

  it('is nothing for other problems', () => {
    expect(parameterErrors(new ApiProblem(404, { code: 'UNKNOWN_VEHICLE' }))).toBeUndefined();
    expect(parameterErrors(new Error('x'))).toBeUndefined();
  });
});

describe('parameterLabel', () => {
  it.each([
    ['ecuAddress', 'ECU address'],
    ['dataIds', 'Data IDs'],
    ['interval_ms', 'Interval (ms)'],
    ['dtcCode', 'DTC code'],
  ])('reads %s as %s', (name, label) => {
    expect(parameterLabel(name)).toBe(label);
  });
});
