import { keyframes, styled } from '@mui/material/styles';
import type { ReactNode } from 'react';

export type Tone = 'success' | 'error' | 'warning' | 'info' | 'primary' | 'neutral';

interface DotProps {
  tone: Tone;
  /** Something goes on: the dot breathes. */
  active?: boolean;
  children: ReactNode;
}

/** A state in words, with a dot whose colour says it again. */
export function Dot({ tone, active = false, children }: DotProps) {
  return (
    <State>
      <Mark aria-hidden className={active ? `${tone} active` : tone} />
      <span>{children}</span>
    </State>
  );
}

const State = styled('span')({ display: 'inline-flex', alignItems: 'center', gap: 7, whiteSpace: 'nowrap' });

const breathe = keyframes({ '50%': { opacity: 0.35 } });

const TONES = ['success', 'error', 'warning', 'info', 'primary'] as const;

const Mark = styled('span')({
  width: 9,
  height: 9,
  borderRadius: '50%',
  flexShrink: 0,
  background: 'var(--mui-palette-text-secondary)',
  ...Object.fromEntries(TONES.map((tone) => [`&.${tone}`, { background: `var(--mui-palette-${tone}-main)` }])),
  '&.active': { animation: `${breathe} 1.6s ease-in-out infinite` },
  '@media (prefers-reduced-motion: reduce)': { '&.active': { animation: 'none' } },
});
