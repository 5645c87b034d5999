/** One HTTP request: traced where it changes something, and observed for whether the server can be reached. */
import { randomHex } from '../lib/random';
import { reachability } from './reachability';
import { NetworkProblem, rememberTraceId } from './problem';

export async function send(request: Request): Promise<Response> {
  const traceId = request.method === 'GET' ? undefined : startTrace(request);
  const response = await sendAndObserve(request);
  if (traceId !== undefined) rememberTraceId(response, traceId);
  return response;
}

async function sendAndObserve(request: Request): Promise<Response> {
  try {
    const response = await fetch(request);
    reachability.report(true);
    return response;
  } catch (error) {
    if (request.signal.aborted) throw error;
    reachability.report(false);
    throw new NetworkProblem();
  }
}

/** W3C trace context: the server's trace begins with the user's click. */
function startTrace(request: Request): string {
  const traceId = randomHex(16);
  request.headers.set('traceparent', `00-${traceId}-${randomHex(8)}-01`);
  return traceId;
}
