import DownloadIcon from '@mui/icons-material/FileDownloadOutlined';
import Button from '@mui/material/Button';
import Menu from '@mui/material/Menu';
import MenuItem from '@mui/material/MenuItem';
import { memo, useDeferredValue, useState } from 'react';
import type { Command } from '../../api/client';
import { copyText } from '../../components/CopyButton';
import { download } from '../../lib/download';
import type { ResponseEvent } from '../../live/events';
import { answersCsv, answersJson } from './exportAnswers';

interface AnswerToolsProps {
  command: Command;
  /** The same array while it grows. */
  answers: readonly ResponseEvent[];
  count: number;
}

/** Takes the answers along: copied, as JSON or as CSV. */
export function AnswerTools({ command, answers, count }: AnswerToolsProps) {
  const none = useDeferredValue(count === 0);
  return <Export command={command} answers={answers} none={none} />;
}

interface ExportProps extends Omit<AnswerToolsProps, 'count'> {
  none: boolean;
}

const Export = memo(function Export({ command, answers, none }: ExportProps) {
  const [anchor, setAnchor] = useState<HTMLElement | null>(null);
  const name = `${command.command_name}-${command.vin}-${command.command_id}`;
  const choose = (action: () => void) => () => {
    setAnchor(null);
    action();
  };
  return (
    <>
      <Button
        size="small"
        startIcon={<DownloadIcon />}
        disabled={none}
        aria-haspopup="menu"
        onClick={(event) => setAnchor(event.currentTarget)}
      >
        Export
      </Button>
      <Menu anchorEl={anchor} open={anchor !== null} onClose={() => setAnchor(null)}>
        <MenuItem onClick={choose(() => void copyText(answersJson(answers), 'Answers'))}>Copy as JSON</MenuItem>
        <MenuItem onClick={choose(() => save(`${name}.json`, answersJson(answers), 'application/json'))}>
          Download JSON
        </MenuItem>
        <MenuItem onClick={choose(() => save(`${name}.csv`, answersCsv(answers), 'text/csv'))}>Download CSV</MenuItem>
      </Menu>
    </>
  );
});

function save(name: string, text: string, type: string): void {
  download(name, new Blob([text], { type }));
}
