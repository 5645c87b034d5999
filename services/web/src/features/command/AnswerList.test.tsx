import { ThemeProvider } from '@mui/material/styles';
import { renderToString } from 'react-dom/server';
import { expect, it, vi } from 'vitest';
import type { ResponseEvent } from '../../live/events';
import { theme } from '../../theme/theme';
import { AnswerList } from './AnswerList';

vi.mock('./AnswerRow', () => ({ AnswerRow: () => null }));

const answers = Array.from({ length: 1_000 }, (_, index): ResponseEvent => ({
  kind: 'response',
  commandId: 'c',
  sequence: index + 1,
  attempt: 1,
  body: { count: index },
  receivedAt: '2026-01-31T12:00:00Z',
}));

it('the first rows are there before anything was measured, and no more than there is room for', () => {
  const drawn = renderToString(
    <ThemeProvider theme={theme}>
      <AnswerList answers={answers} count={answers.length} />
    </ThemeProvider>,
  );
  const rows = drawn.match(/role="listitem"/g) ?? [];
  expect(rows.length).toBeGreaterThan(0);
  expect(rows.length).toBeLessThan(50);
});
