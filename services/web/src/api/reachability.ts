/** Whether the server answers. While it does not, it is asked again every few seconds. */
import { apiAt } from './address';
import { Store } from '../lib/store';

const RETRY_MS = 3000;

class Reachability {
  readonly reachable = new Store(true);
  private timer: number | undefined;

  constructor() {
    window.addEventListener('offline', () => this.report(false));
    window.addEventListener('online', () => void this.probe());
  }

  report(reachable: boolean): void {
    this.reachable.set(reachable);
    window.clearTimeout(this.timer);
    if (!reachable) this.timer = window.setTimeout(() => void this.probe(), RETRY_MS);
  }

  private async probe(): Promise<void> {
    try {
      this.report((await fetch(apiAt.of('/health/live'), { cache: 'no-store' })).ok);
    } catch {
      this.report(false);
    }
  }
}

export const reachability = new Reachability();
