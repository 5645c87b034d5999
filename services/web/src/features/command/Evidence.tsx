import Box from '@mui/material/Box';
import Table from '@mui/material/Table';
import TableBody from '@mui/material/TableBody';
import TableCell from '@mui/material/TableCell';
import TableContainer from '@mui/material/TableContainer';
import TableHead from '@mui/material/TableHead';
import TableRow from '@mui/material/TableRow';
import Typography from '@mui/material/Typography';
import { queryOptions, useQuery } from '@tanstack/react-query';
import { answerOf, api } from '../../api/client';
import { Code } from '../../components/Code';
import { Section } from '../../components/Section';
import { Time } from '../../components/Time';
import { cellText } from '../../lib/csv';
import { commandKey } from '../commands/queries';

const evidenceQuery = (commandId: string) =>
  queryOptions({
    queryKey: [...commandKey(commandId), 'evidence'],
    queryFn: ({ signal }) =>
      answerOf(
        api.GET('/api/v1/commands/{command_id}/evidence', { params: { path: { command_id: commandId } }, signal }),
      ),
  });

const REASONS: Readonly<Record<string, string>> = {
  after_end: 'after the end',
  older_attempt: 'from an older attempt',
  unreadable: 'could not be read',
};

/** What came and does not count. Nothing at all, for most commands. */
export function Evidence({ commandId }: { commandId: string }) {
  const { data } = useQuery(evidenceQuery(commandId));
  if (data === undefined || data.items.length === 0) return null;
  return (
    <Section title="Evidence">
      <Typography variant="body2" color="textSecondary" sx={{ px: 2, pt: 1.5 }}>
        What the vehicle sent that could not be read, or that came after the command had ended or was tried again. It is
        kept, and changes nothing.
        {data.next_cursor !== null && ` The first ${data.items.length} are shown.`}
      </Typography>
      <TableContainer>
        <Table size="small">
          <TableHead>
            <TableRow>
              <TableCell>Received</TableCell>
              <TableCell>Attempt</TableCell>
              <TableCell>Why it does not count</TableCell>
              <TableCell>What</TableCell>
            </TableRow>
          </TableHead>
          <TableBody>
            {data.items.map((item) => (
              <TableRow key={item.evidence_id}>
                <TableCell>
                  <Time at={item.received_at} />
                </TableCell>
                <TableCell>{item.attempt}</TableCell>
                <TableCell>{REASONS[item.reason] ?? item.reason}</TableCell>
                <TableCell>
                  <Box role="region" aria-label={item.kind} tabIndex={0} sx={{ maxHeight: '30vh', overflow: 'auto' }}>
                    {item.kind}: <Code>{cellText(item.body)}</Code>
                  </Box>
                </TableCell>
              </TableRow>
            ))}
          </TableBody>
        </Table>
      </TableContainer>
    </Section>
  );
}
