/**
 * What can go wrong with a call:
 *
 *     ApiProblem      the server answered with problem details (RFC 9457)
 *     NetworkProblem  there was no answer
 *     OddAnswer       the server answered, but not with what it should
 *     UserChanged     it was not sent: another user has logged in in this browser
 */
import type { components } from './generated/schema';

type ProblemBody = components['schemas']['Problem'];

export class ApiProblem extends Error {
  override readonly name = 'ApiProblem';
  readonly status: number;
  readonly code: string;
  /** What is wrong with the fields of the request: `body.vin` → message. */
  readonly fieldErrors: ReadonlyMap<string, string>;
  readonly traceId: string | undefined;

  constructor(status: number, body: Partial<ProblemBody> | undefined, traceId?: string) {
    super(body?.detail ?? `The server answered with status ${status}.`);
    this.status = status;
    this.code = body?.code ?? `HTTP_${status}`;
    this.fieldErrors = new Map([
      ...fieldErrorsOf(body?.errors, 'message'),
      ...fieldErrorsOf(body?.details?.errors, 'problem'),
    ]);
    this.traceId = traceId;
  }
}

export class NetworkProblem extends Error {
  override readonly name = 'NetworkProblem';

  constructor() {
    super('The server cannot be reached.');
  }
}

export class OddAnswer extends Error {
  override readonly name = 'OddAnswer';

  constructor() {
    super('The server sent something that this page does not understand. If it stays so, load the page again.');
  }
}

export class UserChanged extends Error {
  override readonly name = 'UserChanged';

  constructor() {
    super('Another user has logged in in this browser, and nothing was sent. See who you are now before you go on.');
  }
}

/** The gateway names the fields of a request itself; what the command service says of parameters is in the details. */
function fieldErrorsOf(errors: unknown, messageField: 'message' | 'problem'): [string, string][] {
  if (!Array.isArray(errors)) return [];
  return errors
    .filter((error): error is Record<string, unknown> => typeof error === 'object' && error !== null)
    .map((error) => [String(error.field), String(error[messageField])]);
}

/** Worth trying again by itself. */
export function isPassing(error: unknown): boolean {
  return error instanceof NetworkProblem || (error instanceof ApiProblem && error.status === 503);
}

/** For people: what went wrong and, where we know, what to do. */
export function describeProblem(error: unknown): string {
  if (error instanceof NetworkProblem) return `${error.message} Check the connection and try again.`;
  if (error instanceof ApiProblem && error.status === 429)
    return `${sentence(error.message)} Wait a moment, then try again.`;
  if (error instanceof ApiProblem && error.status === 503) return `${sentence(error.message)} Try again in a moment.`;
  return error instanceof Error ? sentence(error.message) : 'Something went wrong.';
}

/** The server's texts begin small, as in a log. */
export function sentence(text: string): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

export function toApiProblem(response: Response, body: unknown): ApiProblem {
  const details = typeof body === 'object' && body !== null ? (body as Partial<ProblemBody>) : undefined;
  return new ApiProblem(response.status, details, traceIdOf(response));
}

const traceIds = new WeakMap<Response, string>();

export function rememberTraceId(response: Response, traceId: string): void {
  traceIds.set(response, traceId);
}

export function traceIdOf(response: Response): string | undefined {
  return traceIds.get(response);
}
