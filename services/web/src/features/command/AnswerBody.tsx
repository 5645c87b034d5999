import Stack from '@mui/material/Stack';
import Typography from '@mui/material/Typography';
import { Code } from '../../components/Code';
import { cellText } from '../../lib/csv';
import { isRecord, readFault } from '../faults/fault';
import { FaultView } from '../faults/FaultView';
import { DataView } from './DataView';
import { EcuView, isEcu } from './EcuView';
import { beyondData, readDataValue } from './dataValue';
import { FaultDetails } from './FaultDetails';

/** What an answer says, by what it holds; anything unknown as names and values. */
export function AnswerBody({ body }: { body: unknown }) {
  const fault = readFault(body);
  if (fault !== undefined) {
    return (
      <>
        <FaultView fault={fault} />
        <FaultDetails body={body} />
      </>
    );
  }
  const data = readDataValue(body);
  if (data !== undefined) {
    const rest = beyondData(body);
    return (
      <>
        <DataView data={data} />
        {rest !== undefined && <FieldsView body={rest} />}
      </>
    );
  }
  if (isEcu(body)) return <EcuView ecu={body} />;
  if (isRecord(body) && typeof body.count === 'number') return <CountView body={body} count={body.count} />;
  return <FieldsView body={body} />;
}

function CountView({ body, count }: { body: Readonly<Record<string, unknown>>; count: number }) {
  const address = cellText(body.ecuAddress);
  if (address === '') {
    return (
      <Typography variant="body2" sx={{ py: 1.25 }}>
        {count} in all
      </Typography>
    );
  }
  const faults = count === 0 ? 'No faults stored' : `${count === 1 ? '1 fault' : `${count} faults`} in all`;
  return (
    <Typography variant="body2" sx={{ py: 1.25 }}>
      {faults} in ECU <Code>{address}</Code>
    </Typography>
  );
}

const MOST_FIELDS = 12;

function FieldsView({ body }: { body: unknown }) {
  if (!isRecord(body)) return <Code>{cellText(body)}</Code>;
  const fields = Object.entries(body);
  return (
    <Stack direction="row" sx={{ py: 1.25, columnGap: 2.5, rowGap: 0.5, flexWrap: 'wrap' }}>
      {fields.slice(0, MOST_FIELDS).map(([name, value]) => (
        <Typography key={name} variant="body2" sx={{ overflowWrap: 'anywhere' }}>
          <Typography component="span" variant="body2" color="textSecondary">
            {name === 'ecuAddress' ? 'ECU' : name}
          </Typography>{' '}
          <Code>{cellText(value).slice(0, 500)}</Code>
        </Typography>
      ))}
      {fields.length > MOST_FIELDS && <Typography variant="body2">… {fields.length - MOST_FIELDS} more</Typography>}
    </Stack>
  );
}
