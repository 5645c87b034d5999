import Box from '@mui/material/Box';
import type { ReactNode } from 'react';
import { MONOSPACE } from '../theme/theme';

/** What is read character by character: a VIN, an address, bytes. */
export function Code({ children }: { children: ReactNode }) {
  return (
    <Box component="span" sx={{ fontFamily: MONOSPACE, fontSize: '0.92em', overflowWrap: 'anywhere' }}>
      {children}
    </Box>
  );
}
