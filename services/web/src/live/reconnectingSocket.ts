/**
 * A WebSocket that comes back: after a lost connection with growing pauses, at once when the network returns.
 *
 * A connection that died without a word is found out by asking: whoever does not answer a ping is given up.
 */
import { Store } from '../lib/store';

export const PING_AFTER_MS = 20_000;
export const ANSWER_WITHIN_MS = 10_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 10_000;

/** `waiting`: between two attempts. */
export type SocketState = 'closed' | 'connecting' | 'open' | 'waiting';

export interface SocketOwner {
  /** Resolves to a socket that is being opened; may fail, which is tried again. */
  connect(): Promise<WebSocket>;
  onOpen(): void;
  onMessage(message: unknown): void;
}

export class ReconnectingSocket {
  readonly state = new Store<SocketState>('closed');
  private readonly owner: SocketOwner;
  private socket: WebSocket | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;
  /** Counts starts and stops, so that what was begun before a stop is known to be stale. */
  private era = 0;

  constructor(owner: SocketOwner) {
    this.owner = owner;
  }

  start(): void {
    if (this.state.get() !== 'closed') return;
    window.addEventListener('online', this.hurry);
    void this.connect();
  }

  stop(): void {
    window.removeEventListener('online', this.hurry);
    this.abandon();
    this.failures = 0;
    this.state.set('closed');
  }

  send(message: object): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  private readonly hurry = (): void => {
    if (this.state.get() !== 'waiting') return;
    clearTimeout(this.timer);
    void this.connect();
  };

  private async connect(): Promise<void> {
    const era = this.era;
    this.state.set('connecting');
    try {
      const socket = await this.owner.connect();
      if (era === this.era) this.adopt(socket);
      else socket.close();
    } catch {
      if (era === this.era) this.retryLater();
    }
  }

  private adopt(socket: WebSocket): void {
    this.socket = socket;
    this.timer = setTimeout(() => this.retryLater(), ANSWER_WITHIN_MS);
    socket.onopen = () => {
      this.state.set('open');
      this.listen();
      this.owner.onOpen();
    };
    socket.onmessage = (message: MessageEvent<unknown>) => {
      // Only a connection that says something is a good one: a refusal opens and closes.
      this.failures = 0;
      this.listen();
      this.owner.onMessage(message.data);
    };
    socket.onclose = () => this.retryLater();
  }

  /** Waits for the next word; asks for one after a while. */
  private listen(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.send({ action: 'ping' });
      this.timer = setTimeout(() => this.retryLater(), ANSWER_WITHIN_MS);
    }, PING_AFTER_MS);
  }

  private retryLater(): void {
    this.abandon();
    this.state.set('waiting');
    const pause = Math.min(FIRST_PAUSE_MS * 2 ** this.failures, LONGEST_PAUSE_MS);
    this.failures += 1;
    this.timer = setTimeout(() => void this.connect(), pause * (0.5 + Math.random() / 2));
  }

  private abandon(): void {
    this.era += 1;
    clearTimeout(this.timer);
    const socket = this.socket;
    this.socket = undefined;
    if (socket === undefined) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }
}
