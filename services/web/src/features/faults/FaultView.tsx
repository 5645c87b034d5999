import Chip from '@mui/material/Chip';
import { styled } from '@mui/material/styles';
import { Code } from '../../components/Code';
import { Dot, type Tone } from '../../components/Dot';
import type { Change } from './compareReadings';
import { severityLabel, STATUS_BITS, type Fault, type StatusBit } from './fault';

const SEVERITY_TONES: Readonly<Record<number, Tone>> = { 1: 'error', 2: 'error', 3: 'warning', 4: 'info' };
const CHANGES: Readonly<Record<Change, { label: string; tone: Tone }>> = {
  new: { label: 'New', tone: 'error' },
  gone: { label: 'Gone', tone: 'success' },
  changed: { label: 'Changed', tone: 'warning' },
  same: { label: 'As before', tone: 'neutral' },
};

interface FaultViewProps {
  fault: Fault;
  change?: Change | undefined;
  changedBits?: ReadonlySet<StatusBit>;
}

/**
 * One fault: its code, text and severity, and the status bits that are set, spelled out.
 *
 * The first answer on screen has several of these, so that they are made of plain elements.
 */
export function FaultView({ fault, change, changedBits }: FaultViewProps) {
  return (
    <View className={change}>
      <Headline>
        <Title>
          <Code>{fault.displayCode}</Code>
        </Title>
        <Name>{fault.name ?? 'No text for this code'}</Name>
        {fault.severity !== undefined && (
          <Small>
            <Dot tone={SEVERITY_TONES[fault.severity] ?? 'neutral'}>{severityLabel(fault.severity)}</Dot>
          </Small>
        )}
        {change !== undefined && <Chip size="small" variant="outlined" {...changeChip(change)} />}
      </Headline>
      {change !== 'gone' && <StatusBits fault={fault} changedBits={changedBits} />}
    </View>
  );
}

function changeChip(change: Change) {
  const { label, tone } = CHANGES[change];
  return { label, color: tone === 'neutral' ? 'default' : tone } as const;
}

function StatusBits({ fault, changedBits }: { fault: Fault; changedBits: ReadonlySet<StatusBit> | undefined }) {
  const shown = STATUS_BITS.filter(([bit]) => fault.status.has(bit) || changedBits?.has(bit) === true);
  return (
    <Bits aria-label="Status">
      {shown.map(([bit, label]) => (
        <Bit key={bit} className={changedBits?.has(bit) === true ? 'changed' : undefined}>
          {bitText(fault, bit, label)}
        </Bit>
      ))}
      {shown.length === 0 && <Note>No status bit is set</Note>}
      {fault.rawStatus !== undefined && (
        <Note>
          <Code>{fault.rawStatus}</Code>
        </Note>
      )}
    </Bits>
  );
}

/** A bit that is shown without being set was set in the reading before. */
function bitText(fault: Fault, bit: StatusBit, label: string): string {
  return fault.status.has(bit) ? label : `No longer: ${label.toLowerCase()}`;
}

const View = styled('div')({ padding: '8px 0', '&.gone': { opacity: 0.85 } });

const Headline = styled('div')({ display: 'flex', flexWrap: 'wrap', alignItems: 'baseline', gap: 12 });

const Title = styled('span')({ fontWeight: 650 });

const Small = styled('span')(({ theme }) => theme.typography.body2);

const Name = styled(Small)({ flexGrow: 1, minWidth: 200 });

const Bits = styled('ul')({
  display: 'flex',
  flexWrap: 'wrap',
  alignItems: 'center',
  gap: 6,
  listStyle: 'none',
  margin: '6px 0 0',
  padding: 0,
});

const Bit = styled('li')(({ theme }) => ({
  fontSize: '0.8125rem',
  lineHeight: '22px',
  padding: '0 7px',
  border: `1px solid ${theme.vars.palette.Chip.defaultBorder}`,
  borderRadius: 12,
  '&.changed': { background: theme.vars.palette.action.selected, borderColor: 'transparent' },
}));

const Note = styled('li')(({ theme }) => ({ ...theme.typography.caption, color: theme.vars.palette.text.secondary }));
