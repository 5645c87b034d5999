import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useRef } from 'react';
import { useNavigate } from 'react-router';
import { liveFeed } from '../../live/feed';
import { commandKey, commandsKey } from '../commands/queries';
import { newIdempotencyKey, submitCommand, type NewCommand } from '../commands/submit';
import { summaryKey } from '../dashboard/queries';

/** Sends the command and goes to its page, which has it already. */
export function useSubmit() {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const unanswered = useRef({ text: '', key: '' });
  // Sent again without having been answered, it is the same command: the server may have it already.
  const keyOf = (body: NewCommand) => {
    const text = JSON.stringify(body);
    if (unanswered.current.text !== text) unanswered.current = { text, key: newIdempotencyKey() };
    return unanswered.current.key;
  };
  const { mutate, isPending, error, reset } = useMutation({
    mutationFn: (body: NewCommand) => submitCommand(body, keyOf(body)),
    onSuccess: (command) => {
      unanswered.current = { text: '', key: '' };
      queries.setQueryData(commandKey(command.command_id), command);
      // So that the first answer is on its way while the page is drawn, which is drawn at once.
      liveFeed.follower(command.command_id);
      void navigate(`/commands/${command.command_id}`, { flushSync: true });
      void queries.invalidateQueries({ queryKey: [...commandsKey, 'list'] });
      void queries.invalidateQueries({ queryKey: summaryKey });
    },
  });
  return { submit: mutate, busy: isPending, error, reset };
}
