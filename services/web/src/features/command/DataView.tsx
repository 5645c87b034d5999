import { styled } from '@mui/material/styles';
import { MONOSPACE } from '../../theme/theme';
import type { DataValue } from './dataValue';

/** One value with its unit and its bytes. */
export function DataView({ data }: { data: DataValue }) {
  return (
    <Line>
      <Name>
        <Bytes>{data.id}</Bytes> {data.name}
      </Name>
      {data.text === '' ? (
        // Nobody has said what the bytes mean.
        <Bytes>{data.raw}</Bytes>
      ) : (
        <>
          <strong>
            {data.text} {data.unit}
          </strong>
          <Raw>{data.raw}</Raw>
        </>
      )}
    </Line>
  );
}

const Line = styled('div')(({ theme }) => ({
  ...theme.typography.body2,
  display: 'flex',
  flexWrap: 'wrap',
  alignItems: 'baseline',
  gap: 16,
  padding: '8px 0',
  overflowWrap: 'anywhere',
  fontVariantNumeric: 'tabular-nums',
}));

const Name = styled('span')({ minWidth: 300 });

const Bytes = styled('span')({ fontFamily: MONOSPACE, fontSize: '0.92em' });

const Raw = styled(Bytes)(({ theme }) => ({ color: theme.vars.palette.text.secondary }));
