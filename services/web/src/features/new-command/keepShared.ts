import type { CommandType } from '../../api/client';
import type { Params } from './schemaValidator';

/** Of the parameters typed so far, those that another command type has too. */
export function keepShared(params: Params, type: CommandType | undefined): Params {
  const known = Object.keys((type?.parameters_schema.properties as object | undefined) ?? {});
  return Object.fromEntries(Object.entries(params).filter(([name]) => known.includes(name)));
}
