/**
 * What is known of one command: its answers in order, without gaps or repeats, and its latest status. Pure state.
 *
 * The gateway promises that order; this holds it whatever is repeated by a reconnect or a second subscription. After a
 * lost connection the trail goes on `after` the last answer it has.
 */
import type { LiveEvent, Oddity, ResponseEvent, StatusEvent } from './events';

/** So many things that are not understood are kept; of the rest, only their number. */
const MOST_ODDITIES = 20;

/** `gap`: an answer before this one is missing, so that the rest has to be asked for again, `after` the last one. */
export type Verdict = 'news' | 'known' | 'gap';

export interface TrailSnapshot {
  /** Grows as answers come: the same array, never changed elsewhere. Look at `count` to see whether it did. */
  readonly answers: readonly ResponseEvent[];
  readonly count: number;
  readonly status: StatusEvent | undefined;
  readonly ended: boolean;
  readonly oddities: readonly Oddity[];
  readonly oddityCount: number;
}

export class CommandTrail {
  private readonly answers: ResponseEvent[] = [];
  private status: StatusEvent | undefined;
  private oddities: readonly Oddity[] = [];
  private oddityCount = 0;

  /** What to resume after. */
  get after(): number {
    return this.answers.length;
  }

  get ended(): boolean {
    return this.status?.terminal === true;
  }

  accept(event: LiveEvent): Verdict {
    switch (event.kind) {
      case 'response':
        return this.acceptAnswer(event);
      case 'status':
        return this.acceptStatus(event);
      case 'oddity':
        return this.acceptOddity(event);
      default:
        return 'known';
    }
  }

  snapshot(): TrailSnapshot {
    return {
      answers: this.answers,
      count: this.answers.length,
      status: this.status,
      ended: this.ended,
      oddities: this.oddities,
      oddityCount: this.oddityCount,
    };
  }

  private acceptAnswer(event: ResponseEvent): Verdict {
    if (event.sequence <= this.answers.length) return 'known';
    if (event.sequence > this.answers.length + 1) return 'gap';
    this.answers.push(event);
    return 'news';
  }

  private acceptStatus(event: StatusEvent): Verdict {
    if (this.ended || (this.status !== undefined && event.revision <= this.status.revision)) return 'known';
    if (event.responses > this.answers.length) return 'gap';
    this.status = event;
    return 'news';
  }

  private acceptOddity(event: Oddity): Verdict {
    this.oddityCount += 1;
    if (this.oddities.length < MOST_ODDITIES) this.oddities = [...this.oddities, event];
    return 'news';
  }
}
