/** Short messages at the edge of the page; each says what happened and, where something is to be done, what. */
import { describeProblem } from '../api/problem';
import { Store } from '../lib/store';

export interface Toast {
  readonly id: number;
  readonly severity: 'success' | 'info' | 'warning' | 'error';
  readonly text: string;
}

const MOST = 4;
let lastId = 0;

export const toasts = new Store<readonly Toast[]>([]);

export function toast(severity: Toast['severity'], text: string): void {
  lastId += 1;
  toasts.set([...toasts.get(), { id: lastId, severity, text }].slice(-MOST));
}

export function toastProblem(doing: string, error: unknown): void {
  toast('error', `${doing}: ${describeProblem(error)}`);
}

export function dismissToast(id: number): void {
  toasts.set(toasts.get().filter((toast) => toast.id !== id));
}
