import Box from '@mui/material/Box';
import Stack from '@mui/material/Stack';
import type { ReactNode } from 'react';

export type Tone = 'success' | 'error' | 'warning' | 'info' | 'primary' | 'neutral';

interface DotProps {
  tone: Tone;
  /** Something goes on: the dot breathes. */
  active?: boolean;
  children: ReactNode;
}

const BREATHE = {
  '@keyframes breathe': { '50%': { opacity: 0.35 } },
  animation: 'breathe 1.6s ease-in-out infinite',
  '@media (prefers-reduced-motion: reduce)': { animation: 'none' },
};

/** A state in words, with a dot whose colour says it again. */
export function Dot({ tone, active = false, children }: DotProps) {
  return (
    <Stack
      direction="row"
      component="span"
      sx={{ display: 'inline-flex', alignItems: 'center', gap: 0.875, whiteSpace: 'nowrap' }}
    >
      <Box
        component="span"
        aria-hidden
        sx={{
          width: 9,
          height: 9,
          borderRadius: '50%',
          flexShrink: 0,
          bgcolor: tone === 'neutral' ? 'text.secondary' : `${tone}.main`,
          ...(active ? BREATHE : {}),
        }}
      />
      <span>{children}</span>
    </Stack>
  );
}
