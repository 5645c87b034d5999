import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from 'react-router';
import { liveFeed } from '../../live/feed';
import { commandKey, commandsKey } from '../commands/queries';
import { submitCommand } from '../commands/submit';
import { summaryKey } from '../dashboard/queries';

/** Sends the command and goes to its page, which has it already. */
export function useSubmit() {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const { mutate, isPending, error, reset } = useMutation({
    mutationFn: submitCommand,
    onSuccess: (command) => {
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
