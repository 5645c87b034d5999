import { useState } from 'react';

export interface CursorPages {
  readonly cursor: string;
  readonly page: number;
  readonly next: (cursor: string) => void;
  readonly previous: () => void;
}

/** Lists go forward by the cursor of the page before; the way back is remembered here. Another `key`: the first page. */
export function useCursorPages(key: string): CursorPages {
  const [trail, setTrail] = useState<{ key: string; cursors: readonly string[] }>({ key, cursors: [] });
  const cursors = trail.key === key ? trail.cursors : [];
  return {
    cursor: cursors.at(-1) ?? '',
    page: cursors.length + 1,
    next: (cursor) => setTrail({ key, cursors: [...cursors, cursor] }),
    previous: () => setTrail({ key, cursors: cursors.slice(0, -1) }),
  };
}
