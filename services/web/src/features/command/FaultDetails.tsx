import Box from '@mui/material/Box';
import Typography from '@mui/material/Typography';
import { Code } from '../../components/Code';
import { cellText } from '../../lib/csv';
import { isRecord } from '../faults/fault';
import { DataView } from './DataView';
import { readDataValue } from './dataValue';

/** Snapshots and extended data of a fault (`ReadDTCDetails`). Nothing where there are none. */
export function FaultDetails({ body }: { body: unknown }) {
  if (!isRecord(body)) return null;
  return (
    <>
      {records(body.snapshots).map((snapshot, index) => (
        <Box key={`snapshot-${index}`} sx={{ pb: 1 }}>
          <Typography variant="caption" color="textSecondary">
            Snapshot {cellText(snapshot.record_number)}
          </Typography>
          {records(snapshot.data).map((item, position) => {
            const data = readDataValue(item);
            return data === undefined ? (
              <Code key={position}>{cellText(item)}</Code>
            ) : (
              <DataView key={position} data={data} />
            );
          })}
          {typeof snapshot.raw === 'string' && <Code>{snapshot.raw}</Code>}
        </Box>
      ))}
      {records(body.extended_data).map((record, index) => (
        <Typography key={`extended-${index}`} variant="body2" sx={{ pb: 1 }}>
          Extended data {cellText(record.record_number)} {cellText(record.name)} {cellText(record.value)}{' '}
          {cellText(record.unit)} <Code>{cellText(record.raw)}</Code>
        </Typography>
      ))}
    </>
  );
}

function records(value: unknown): Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value.filter(isRecord) : [];
}
