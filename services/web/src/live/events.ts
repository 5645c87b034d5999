/** What the gateway says over a WebSocket, read carefully: what is not understood becomes an `Oddity`, never an error. */

export interface ResponseEvent {
  readonly kind: 'response';
  readonly commandId: string;
  readonly sequence: number;
  readonly attempt: number;
  /** As the vehicle sent it. */
  readonly body: unknown;
  readonly receivedAt: string;
}

export interface StatusEvent {
  readonly kind: 'status';
  readonly commandId: string;
  /** One of the API's, or one that a newer server knows. */
  readonly status: string;
  readonly attempt: number;
  readonly revision: number;
  readonly responses: number;
  readonly at: string | undefined;
  /** No event follows it. */
  readonly terminal: boolean;
  readonly code: string | undefined;
  readonly message: string | undefined;
  readonly nrc: string | undefined;
  readonly nrcName: string | undefined;
  /** The vehicle asked for patience ("response pending"). */
  readonly progress: string | undefined;
  readonly cancelOutcome: string | undefined;
}

export interface VehicleEvent {
  readonly kind: 'vehicle';
  readonly vehicleId: string;
  readonly connectionStatus: string;
  /** null: nobody has it. */
  readonly lock: LockState | null;
  /** null: there is none. */
  readonly linkProblem: LinkProblem | null;
  readonly at: string | undefined;
}

/** Who alone may change anything on a vehicle, and until when. */
export interface LockState {
  readonly owner: string;
  readonly owner_id: string;
  readonly taken_at: string;
  readonly expires_at: string;
}

/** Why a vehicle is not reached, or was turned away. */
export interface LinkProblem {
  readonly reason: string;
  readonly since: string;
}

export interface ProblemEvent {
  readonly kind: 'problem';
  readonly code: string;
  readonly message: string;
  readonly commandId: string | undefined;
}

/** Something that this page does not understand, to be shown as it is. */
export interface Oddity {
  readonly kind: 'oddity';
  readonly commandId: string | undefined;
  readonly reason: string;
  readonly text: string;
}

export type LiveEvent =
  | ResponseEvent
  | StatusEvent
  | VehicleEvent
  | ProblemEvent
  | Oddity
  | { readonly kind: 'resync' }
  | { readonly kind: 'pong' }
  | { readonly kind: 'unsubscribed'; readonly commandId: string | undefined };

export const ENDED: ReadonlySet<string> = new Set(['completed', 'failed', 'timed_out', 'expired', 'cancelled']);

const LONGEST_ODDITY = 2_000;

type Fields = Readonly<Record<string, unknown>>;

export function readEvent(message: unknown): LiveEvent {
  if (typeof message !== 'string') return oddity('not a text message', String(message));
  const fields = parseObject(message);
  if (fields === undefined) return oddity('not a JSON object', message);
  return readFields(fields) ?? oddity(reasonFor(fields), message, text(fields.command_id));
}

function readFields(fields: Fields): LiveEvent | undefined {
  switch (fields.event) {
    case 'response':
      return readResponse(fields);
    case 'status':
    case 'error':
      return readStatus(fields);
    case 'vehicle':
      return readVehicle(fields);
    case 'problem':
      return {
        kind: 'problem',
        code: text(fields.code) ?? 'UNKNOWN',
        message: text(fields.message) ?? '',
        commandId: text(fields.command_id),
      };
    case 'unsubscribed':
      return { kind: 'unsubscribed', commandId: text(fields.command_id) };
    case 'resync':
    case 'pong':
      return { kind: fields.event };
    default:
      return undefined;
  }
}

function readResponse(fields: Fields): ResponseEvent | undefined {
  const commandId = text(fields.command_id);
  const sequence = count(fields.sequence_number);
  if (commandId === undefined || sequence === undefined || sequence === 0 || !('response' in fields)) return undefined;
  return {
    kind: 'response',
    commandId,
    sequence,
    attempt: count(fields.attempt) ?? 1,
    body: fields.response,
    receivedAt: text(fields.received_at) ?? '',
  };
}

function readStatus(fields: Fields): StatusEvent | undefined {
  const commandId = text(fields.command_id);
  const status = text(fields.status);
  if (commandId === undefined || status === undefined) return undefined;
  return {
    kind: 'status',
    commandId,
    status,
    attempt: count(fields.attempt) ?? 1,
    revision: count(fields.revision) ?? 0,
    responses: count(fields.responses) ?? 0,
    at: text(fields.at) ?? text(fields.completed_at),
    terminal: fields.event === 'error' || ENDED.has(status),
    code: text(fields.code),
    message: text(fields.error_message),
    nrc: text(fields.nrc),
    nrcName: text(fields.nrc_name),
    progress: progressOf(fields.progress),
    cancelOutcome: text(fields.cancel_outcome),
  };
}

function readVehicle(fields: Fields): VehicleEvent | undefined {
  const vehicleId = text(fields.vehicle_id);
  const connectionStatus = text(fields.connection_status);
  if (vehicleId === undefined || connectionStatus === undefined) return undefined;
  return {
    kind: 'vehicle',
    vehicleId,
    connectionStatus,
    lock: lockOf(fields.lock),
    linkProblem: linkProblemOf(fields.link_problem),
    at: text(fields.at),
  };
}

function linkProblemOf(value: unknown): LinkProblem | null {
  if (typeof value !== 'object' || value === null) return null;
  const fields = value as Fields;
  const reason = text(fields.reason);
  return reason === undefined ? null : { reason, since: text(fields.since) ?? '' };
}

function lockOf(value: unknown): LockState | null {
  if (typeof value !== 'object' || value === null) return null;
  const fields = value as Fields;
  const owner = text(fields.owner);
  const expiresAt = text(fields.expires_at);
  if (owner === undefined || expiresAt === undefined) return null;
  return {
    owner,
    owner_id: text(fields.owner_id) ?? '',
    taken_at: text(fields.taken_at) ?? '',
    expires_at: expiresAt,
  };
}

function progressOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  return text((value as Fields).nrc_name) ?? text((value as Fields).nrc);
}

function reasonFor(fields: Fields): string {
  const event = fields.event;
  if (typeof event !== 'string') return 'an event without a name';
  const known = ['response', 'status', 'error', 'vehicle'].includes(event);
  return known ? `a ${event} event that lacks what it should have` : `an event named “${event.slice(0, 60)}”`;
}

function oddity(reason: string, raw: string, commandId?: string): Oddity {
  return { kind: 'oddity', commandId, reason, text: raw.slice(0, LONGEST_ODDITY) };
}

function parseObject(message: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(message);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
  } catch {
    return undefined;
  }
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
