import Box from '@mui/material/Box';
import Stack from '@mui/material/Stack';
import Typography from '@mui/material/Typography';
import { useEffect, useRef, type ReactNode } from 'react';
import { usePageTitle } from './usePageTitle';

interface PageHeaderProps {
  title: string;
  /** In place of the plain title. */
  heading?: ReactNode;
  subtitle?: ReactNode;
  actions?: ReactNode;
}

/** A page's heading. It takes the focus, so that the keyboard and screen readers begin where the page does. */
export function PageHeader({ title, heading, subtitle, actions }: PageHeaderProps) {
  usePageTitle(title);
  const headingRef = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    const somethingHasFocus = document.activeElement !== null && document.activeElement !== document.body;
    if (!somethingHasFocus || document.activeElement?.closest('nav') != null) {
      headingRef.current?.focus({ preventScroll: true });
    }
  }, []);
  return (
    <Stack direction="row" sx={{ mb: 2.5, gap: 2, alignItems: 'flex-start', flexWrap: 'wrap' }}>
      <Box sx={{ flex: '1 1 240px' }}>
        <Typography variant="h1" ref={headingRef} tabIndex={-1} sx={{ outline: 'none' }}>
          {heading ?? title}
        </Typography>
        {subtitle !== undefined && (
          <Typography component="div" color="textSecondary" variant="body2" sx={{ mt: 0.5 }}>
            {subtitle}
          </Typography>
        )}
      </Box>
      <Stack direction="row" sx={{ gap: 1, flexWrap: 'wrap', alignItems: 'center' }}>
        {actions}
      </Stack>
    </Stack>
  );
}
