/** Time-out, expiry and priority, as typed; empty is the server's default. */
export interface CommandOptions {
  readonly timeout: string;
  readonly expiry: number;
  readonly priority: string;
}

export const DEFAULT_EXPIRY_SECONDS = 900;
export const DEFAULT_OPTIONS: CommandOptions = { timeout: '', expiry: DEFAULT_EXPIRY_SECONDS, priority: '0' };

export const EXPIRIES: readonly (readonly [seconds: number, label: string])[] = [
  [300, '5 minutes'],
  [DEFAULT_EXPIRY_SECONDS, '15 minutes'],
  [3_600, '1 hour'],
  [28_800, '8 hours'],
  [86_400, '1 day'],
  [604_800, '7 days'],
  [2_592_000, '30 days'],
];

export type OptionErrors = Partial<Record<'timeout' | 'priority', string>>;

export function checkOptions({ timeout, priority }: CommandOptions): OptionErrors {
  return {
    ...(timeout === '' || isWithin(timeout, 1, 600) ? {} : { timeout: 'A whole number from 1 to 600' }),
    ...(isWithin(priority, -100, 100) ? {} : { priority: 'A whole number from -100 to 100' }),
  };
}

function isWithin(text: string, least: number, most: number): boolean {
  const number = Number(text);
  return text.trim() !== '' && Number.isInteger(number) && number >= least && number <= most;
}

export function optionsBody({ timeout, expiry, priority }: CommandOptions) {
  return {
    ...(timeout === '' ? {} : { timeout_seconds: Number(timeout) }),
    expires_in_seconds: expiry,
    priority: Number(priority),
  };
}
