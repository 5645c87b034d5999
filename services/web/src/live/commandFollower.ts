/** Follows one command over the feed: subscribes, resumes, and tells its watchers in batches. */
import { Store } from '../lib/store';
import { CommandTrail, type TrailSnapshot } from './commandTrail';
import type { LiveEvent } from './events';

/** Answers come at 500 a second; a screen need not change more often than this. */
const BATCH_MS = 150;

export interface Following extends TrailSnapshot {
  /** The server does not know the command. */
  readonly unknown: boolean;
}

/** `leaving`: until the server confirms that it stopped, what comes belongs to the old subscription. */
type Subscription = 'none' | 'on' | 'leaving';

export class CommandFollower {
  readonly commandId: string;
  readonly state: Store<Following>;
  watchers = 0;
  private readonly trail = new CommandTrail();
  private readonly send: (message: object) => void;
  private subscription: Subscription = 'none';
  private unknown = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private lastTold = -Infinity;

  constructor(commandId: string, send: (message: object) => void) {
    this.commandId = commandId;
    this.send = send;
    this.state = new Store<Following>(this.snapshot());
  }

  onConnect(): void {
    if (this.trail.ended || this.unknown || this.subscription !== 'none') return;
    this.subscription = 'on';
    this.send({ action: 'subscribe', command_id: this.commandId, after: this.trail.after });
  }

  onDisconnect(): void {
    this.subscription = 'none';
  }

  onEvent(event: LiveEvent): void {
    if (event.kind === 'unsubscribed') return this.onUnsubscribed();
    if (this.subscription === 'leaving') return;
    if (event.kind === 'problem') return this.onProblem(event.code);
    const verdict = this.trail.accept(event);
    if (verdict === 'gap') this.leave();
    if (verdict === 'news') this.tellSoon();
  }

  onEnd(): void {
    if (this.subscription === 'on' && !this.trail.ended) this.leave();
    this.subscription = 'none';
  }

  private onUnsubscribed(): void {
    if (this.subscription !== 'leaving') return;
    this.subscription = 'none';
    this.onConnect();
  }

  private onProblem(code: string): void {
    if (code !== 'UNKNOWN_COMMAND') return;
    this.unknown = true;
    this.tellSoon();
  }

  /** The server takes no second subscription; with the confirmation that the first ended, the next begins. */
  private leave(): void {
    if (this.subscription !== 'on' || this.trail.ended) return;
    this.subscription = 'leaving';
    this.send({ action: 'unsubscribe', command_id: this.commandId });
  }

  /** At once after a calm and until there are answers, so that the first one is on screen without delay; then in batches. */
  private tellSoon(): void {
    if (this.timer !== undefined) return;
    const pause = Math.max(0, this.lastTold + BATCH_MS - performance.now());
    this.timer = setTimeout(() => this.tell(), pause);
  }

  private tell(): void {
    this.timer = undefined;
    const following = this.snapshot();
    // A status comes right before the first answer, which is not to wait for that.
    if (following.count + following.oddityCount > 0) this.lastTold = performance.now();
    this.state.set(following);
  }

  private snapshot(): Following {
    return { ...this.trail.snapshot(), unknown: this.unknown };
  }
}
