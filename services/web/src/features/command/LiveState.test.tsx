import { ThemeProvider } from '@mui/material/styles';
import { act, render, screen } from '@testing-library/react';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { liveFeed } from '../../live/feed';
import type { SocketState } from '../../live/reconnectingSocket';
import { theme } from '../../theme/theme';
import { LiveState } from './LiveState';

beforeEach(() => {
  vi.useFakeTimers();
  liveFeed.state.set('connecting');
});
afterEach(() => vi.useRealTimers());

const view = (ended: boolean) => (
  <ThemeProvider theme={theme}>
    <LiveState ended={ended} />
  </ThemeProvider>
);
const said = () => screen.getByRole('status').textContent;

function after(ms: number): void {
  act(() => {
    vi.advanceTimersByTime(ms);
  });
}

function become(state: SocketState): void {
  act(() => liveFeed.state.set(state));
}

it('says nothing while the first connection is made, and that it is live once it is', () => {
  render(view(false));
  expect(said()).toBe('');
  after(799);
  expect(said()).toBe('');
  become('open');
  expect(said()).toBe('Live');
});

it('says that there is no connection when the first one takes long', () => {
  render(view(false));
  after(800);
  expect(said()).toBe('Reconnecting…');
  become('open');
  expect(said()).toBe('Live');
});

it('a connection that comes back soon is not worth a word, one that does not is', () => {
  liveFeed.state.set('open');
  render(view(false));
  after(0);
  become('waiting');
  after(400);
  become('connecting');
  after(399);
  expect(said()).toBe('Live');
  after(1);
  expect(said()).toBe('Reconnecting…');
});

it('needs no connection once the command has ended', () => {
  const { rerender } = render(view(false));
  after(800);
  rerender(view(true));
  expect(said()).toBe('All answers are here');
});
