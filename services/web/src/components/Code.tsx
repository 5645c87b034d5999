import { styled } from '@mui/material/styles';
import { MONOSPACE } from '../theme/theme';

/** What is read character by character: a VIN, an address, bytes. */
export const Code = styled('span')({ fontFamily: MONOSPACE, fontSize: '0.92em', overflowWrap: 'anywhere' });
