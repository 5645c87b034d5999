import Stack from '@mui/material/Stack';
import Typography from '@mui/material/Typography';
import { Code } from '../../components/Code';
import { isRecord } from '../faults/fault';

const FACTS = [
  ['part_number', 'Part number'],
  ['software_version', 'Software'],
  ['software_number', 'Software number'],
  ['hardware_version', 'Hardware'],
  ['hardware_number', 'Hardware number'],
  ['serial_number', 'Serial number'],
  ['vin', 'VIN'],
] as const;
const KNOWN: ReadonlySet<string> = new Set(['ecuAddress', 'name', ...FACTS.map(([fact]) => fact)]);

type Ecu = Readonly<Record<string, string>>;

/** An ECU and nothing but what is known of ECUs: what `ScanECUs` found. */
export function isEcu(body: unknown): body is Ecu {
  if (!isRecord(body) || !('ecuAddress' in body)) return false;
  return Object.entries(body).every(([fact, value]) => KNOWN.has(fact) && typeof value === 'string');
}

export function EcuView({ ecu }: { ecu: Ecu }) {
  return (
    <Stack direction="row" sx={{ py: 1.25, columnGap: 2.5, rowGap: 0.5, flexWrap: 'wrap', alignItems: 'baseline' }}>
      <Typography component="span" variant="body2" sx={{ minWidth: 96 }}>
        {ecu.name === undefined ? 'ECU' : <strong>{ecu.name}</strong>} <Code>{ecu.ecuAddress}</Code>
      </Typography>
      {FACTS.filter(([fact]) => ecu[fact] !== undefined).map(([fact, label]) => (
        <Typography key={fact} component="span" variant="body2">
          <Typography component="span" variant="body2" color="textSecondary">
            {label}
          </Typography>{' '}
          <Code>{ecu[fact]}</Code>
        </Typography>
      ))}
    </Stack>
  );
}
