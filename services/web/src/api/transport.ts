/**
 * One HTTP request: traced where it changes something, given up when no answer begins in time, and observed for whether
 * the server can be reached.
 */
import { randomHex } from '../lib/random';
import { reachability } from './reachability';
import { NetworkProblem, rememberTraceId } from './problem';

/** More than the gateway takes for anything: its longest, the verification of the audit trail, ends after 60 s. */
export const ANSWER_BEGINS_WITHIN_MS = 75_000;

export async function send(request: Request): Promise<Response> {
  const traceId = request.method === 'GET' ? undefined : startTrace(request);
  const response = await sendAndObserve(request);
  if (traceId !== undefined) rememberTraceId(response, traceId);
  return response;
}

async function sendAndObserve(request: Request): Promise<Response> {
  try {
    const response = await fetchInTime(request);
    reachability.report(true);
    return response;
  } catch (error) {
    if (request.signal.aborted) throw error;
    reachability.report(false);
    throw new NetworkProblem();
  }
}

/** The limit ends with the headers: a long answer, such as a download, is not cut. */
async function fetchInTime(request: Request): Promise<Response> {
  request.signal.throwIfAborted();
  const call = new AbortController();
  const giveUp = () => call.abort();
  request.signal.addEventListener('abort', giveUp);
  const timer = setTimeout(giveUp, ANSWER_BEGINS_WITHIN_MS);
  try {
    return await fetch(request, { signal: call.signal });
  } finally {
    clearTimeout(timer);
  }
}

/** W3C trace context: the server's trace begins with the user's click. */
function startTrace(request: Request): string {
  const traceId = randomHex(16);
  request.headers.set('traceparent', `00-${traceId}-${randomHex(8)}-01`);
  return traceId;
}
