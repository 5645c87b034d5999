import { render, screen, waitFor } from '@testing-library/react';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { CommandFollower, type Following } from './commandFollower';
import { readEvent } from './events';
import { useFollowed, useFollowedCommands, useFollowedLater } from './useFeed';

const ended = vi.hoisted((): { follower: CommandFollower | undefined } => ({ follower: undefined }));
vi.mock('./feed', () => ({ liveFeed: { follower: () => ended.follower, hold: () => () => undefined } }));

// React draws as it does in a browser, not all at once.
beforeEach(() => vi.stubGlobal('IS_REACT_ACT_ENVIRONMENT', false));
afterEach(() => vi.unstubAllGlobals());

const COMPLETED = {
  event: 'status',
  command_id: 'c',
  status: 'completed',
  attempt: 1,
  revision: 3,
  responses: 0,
};
const statusOf = ({ status }: Following) => status?.status ?? 'nothing';

/** A follower tells its watchers in a moment of its own; this is that moment. */
function tell(follower: CommandFollower, count: number): void {
  const event = readEvent(JSON.stringify(COMPLETED));
  if (event.kind !== 'status') throw new Error(event.kind);
  follower.state.set({ ...follower.state.get(), count, status: event });
}

function Shown({ follower }: { follower: CommandFollower }) {
  const count = useFollowed(follower, (following) => following.count);
  return (
    <p>
      {count}, <Status follower={follower} />
    </p>
  );
}

function Status({ follower }: { follower: CommandFollower }) {
  return <span role="status">{useFollowedLater(follower, statusOf)}</span>;
}

it('what may come later gives way to what is followed without delay, and then follows', async () => {
  const follower = new CommandFollower('c', () => undefined);
  render(<Shown follower={follower} />);
  await waitFor(() => expect(screen.getByRole('paragraph').textContent).toBe('0, nothing'));
  tell(follower, 1);
  await Promise.resolve();
  expect(screen.getByRole('paragraph').textContent).toBe('1, nothing');
  await waitFor(() => expect(screen.getByRole('paragraph').textContent).toBe('1, completed'));
});

it('what happened before it looked is not missed', async () => {
  const follower = new CommandFollower('c', () => undefined);
  tell(follower, 0);
  render(<Shown follower={follower} />);
  await waitFor(() => expect(screen.getByRole('status').textContent).toBe('completed'));
});

function Ended({ ids }: { ids: readonly string[] }) {
  const followed = useFollowedCommands(ids);
  return <p>{ids.filter((id) => followed.get(id)?.status?.status === 'completed').length} ended</p>;
}

it('of several commands, too', async () => {
  ended.follower = new CommandFollower('c', () => undefined);
  tell(ended.follower, 0);
  render(<Ended ids={['c']} />);
  await waitFor(() => expect(screen.getByRole('paragraph').textContent).toBe('1 ended'));
});
