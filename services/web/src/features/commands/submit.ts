import { answerOf, api, type Command } from '../../api/client';
import type { paths } from '../../api/generated/schema';
import { isPassing } from '../../api/problem';
import { randomHex } from '../../lib/random';

export type NewCommand = paths['/api/v1/commands']['post']['requestBody']['content']['application/json'];

const MOST_TRIES = 3;
const PAUSE_MS = 500;

export const newIdempotencyKey = (): string => randomHex(16);

/** Sends a command once, whatever happens on the way: the same key makes a repetition the same command. */
export async function submitCommand(body: NewCommand, key = newIdempotencyKey()): Promise<Command> {
  const header = { 'Idempotency-Key': key };
  for (let tries = 1; ; tries += 1) {
    try {
      return await answerOf(api.POST('/api/v1/commands', { body, params: { header } }));
    } catch (error) {
      if (!isPassing(error) || tries === MOST_TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * tries));
    }
  }
}
