/** The page's feed, opened with a ticket of the user who is logged in. */
import { answerOf, api } from '../api/client';
import { LiveFeed } from './liveFeed';

export const liveFeed = new LiveFeed(async () => {
  const { ticket } = await answerOf(api.POST('/api/v1/auth/ws-ticket'));
  const address = new URL('/ws/events', window.location.href);
  address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
  address.searchParams.set('ticket', ticket);
  return new WebSocket(address);
});
