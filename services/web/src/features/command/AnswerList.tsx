import Box from '@mui/material/Box';
import Fab from '@mui/material/Fab';
import { useVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useRef, useState, type KeyboardEvent } from 'react';
import type { ResponseEvent } from '../../live/events';
import { AnswerRow } from './AnswerRow';

const ROW_HEIGHT = 56;
/** Of the window's. */
const GREATEST_HEIGHT = 0.62;
/** This close to the end counts as being there. */
const AT_END_PX = 40;

interface AnswerListProps {
  answers: readonly ResponseEvent[];
  count: number;
}

/**
 * All answers; only those in view are in the document. Stays at the end while one is there.
 *
 * On the keyboard's way through the page they are one place, and the arrows lead from one to the next.
 */
export function AnswerList({ answers, count }: AnswerListProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const [atEnd, setAtEnd] = useState(true);
  const [opened, setOpened] = useState<ReadonlySet<number>>(new Set());
  const [current, setCurrent] = useState(-1);
  // eslint-disable-next-line react-hooks/incompatible-library -- nothing here is memoized on what it returns
  const virtualizer = useVirtualizer({
    count,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_HEIGHT,
    overscan: 6,
    // So that the first rows come at once, before it could be measured how many there is room for.
    initialRect: { width: 0, height: window.innerHeight * GREATEST_HEIGHT },
  });
  const height = virtualizer.getTotalSize();
  const items = virtualizer.getVirtualItems();
  const reachable = items.some(({ index }) => index === current) ? current : items.at(-1)?.index;
  useEffect(() => {
    if (atEnd && scroller.current !== null) scroller.current.scrollTop = scroller.current.scrollHeight;
  }, [atEnd, count, height]);
  const toggle = (sequence: number) => {
    setAtEnd(false);
    setOpened((before) => toggled(before, sequence));
  };
  return (
    <Box sx={{ position: 'relative' }}>
      <Box
        ref={scroller}
        tabIndex={0}
        role="list"
        aria-label="Answers"
        onScroll={({ currentTarget }) => setAtEnd(isAtEnd(currentTarget) && !holdsKeyboard(currentTarget))}
        onFocus={({ target }) => {
          const index = indexOf(target);
          if (index === undefined) return;
          setCurrent(index);
          // What the keyboard is at does not scroll away.
          setAtEnd(false);
        }}
        onKeyDown={moveBetweenRows}
        sx={{ maxHeight: `${100 * GREATEST_HEIGHT}vh`, overflow: 'auto', overflowAnchor: 'none' }}
      >
        <Box role="presentation" sx={{ height, position: 'relative' }}>
          {items.map(({ index, start, key }) => {
            const answer = answers[index];
            if (answer === undefined) return null;
            return (
              <div
                key={key}
                ref={virtualizer.measureElement}
                data-index={index}
                role="listitem"
                aria-setsize={count}
                aria-posinset={index + 1}
                style={{ position: 'absolute', insetInline: 0, transform: `translateY(${start}px)` }}
              >
                <AnswerRow
                  answer={answer}
                  open={opened.has(answer.sequence)}
                  reachable={index === reachable}
                  onToggle={toggle}
                />
              </div>
            );
          })}
        </Box>
      </Box>
      {!atEnd && (
        <Fab
          size="small"
          variant="extended"
          onClick={() => setAtEnd(true)}
          sx={{ position: 'absolute', bottom: 12, right: 24 }}
        >
          To the latest
        </Fab>
      )}
    </Box>
  );
}

const MOVES: Readonly<Record<string, number>> = { ArrowUp: -1, ArrowDown: 1 };

function moveBetweenRows(event: KeyboardEvent<HTMLElement>): void {
  const [index, move] = [indexOf(event.target), MOVES[event.key]];
  if (index === undefined || move === undefined) return;
  const next = event.currentTarget.querySelector<HTMLElement>(`[data-index="${index + move}"] button`);
  if (next === null) return;
  event.preventDefault();
  next.focus();
}

/** Of the row that the button belongs to. */
function indexOf(target: EventTarget): number | undefined {
  if (!(target instanceof HTMLButtonElement)) return undefined;
  const index = target.closest<HTMLElement>('[data-index]')?.dataset.index;
  return index === undefined ? undefined : Number(index);
}

/** A scroll to the end that was begun before the keyboard came to a row is told of after it. */
function holdsKeyboard(list: HTMLElement): boolean {
  return list.querySelector(':focus-visible') !== null;
}

function isAtEnd({ scrollTop, scrollHeight, clientHeight }: HTMLElement): boolean {
  return scrollHeight - scrollTop - clientHeight < AT_END_PX;
}

function toggled(set: ReadonlySet<number>, member: number): ReadonlySet<number> {
  const after = new Set(set);
  if (!after.delete(member)) after.add(member);
  return after;
}
