/** The page's feed, opened with a ticket of the user who is logged in. */
import { apiAt } from '../api/address';
import { answerOf, api } from '../api/client';
import { LiveFeed } from './liveFeed';

export const liveFeed = new LiveFeed(async () => {
  const { ticket } = await answerOf(api.POST('/api/v1/auth/ws-ticket'));
  const address = apiAt.ofSocket('/ws/events');
  address.searchParams.set('ticket', ticket);
  return new WebSocket(address);
});
