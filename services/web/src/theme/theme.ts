import type {} from '@mui/material/themeCssVarsAugmentation';
import '@fontsource-variable/inter/wght.css';
import { createTheme } from '@mui/material/styles';

const FONT = '"Inter Variable", system-ui, sans-serif';
/** For what is compared character by character: VINs, codes, bytes. */
export const MONOSPACE = 'ui-monospace, "Cascadia Mono", "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace';

export const theme = createTheme({
  cssVariables: { colorSchemeSelector: 'data-theme' },
  colorSchemes: {
    light: {
      palette: {
        primary: { main: '#1b5fb4' },
        secondary: { main: '#52606d' },
        success: { main: '#1a7440' },
        warning: { main: '#9a5800' },
        error: { main: '#b3261e' },
        info: { main: '#0b6a88' },
        background: { default: '#f5f7fa', paper: '#ffffff' },
        text: { primary: '#17202a', secondary: '#4e5b68' },
        divider: '#dfe4ea',
      },
    },
    dark: {
      palette: {
        primary: { main: '#8ab8f5' },
        secondary: { main: '#a9b6c4' },
        success: { main: '#6cc894' },
        warning: { main: '#f0b45f' },
        error: { main: '#f29a94' },
        info: { main: '#7cc9e4' },
        background: { default: '#0f1419', paper: '#171d24' },
        text: { primary: '#e6ebf0', secondary: '#a7b3c0' },
        divider: '#2b343e',
      },
    },
  },
  shape: { borderRadius: 8 },
  typography: {
    fontFamily: FONT,
    h1: { fontSize: '1.5rem', fontWeight: 650, letterSpacing: '-0.01em', lineHeight: 1.3 },
    h2: { fontSize: '1.0625rem', fontWeight: 600, lineHeight: 1.4 },
    h3: { fontSize: '0.9375rem', fontWeight: 600, lineHeight: 1.4 },
    button: { textTransform: 'none', fontWeight: 600 },
  },
  components: {
    MuiPaper: { defaultProps: { elevation: 0 }, styleOverrides: { root: { backgroundImage: 'none' } } },
    MuiCard: { defaultProps: { variant: 'outlined' } },
    MuiButtonBase: {
      // Where the keyboard is has to be seen, also without the ripple.
      styleOverrides: { root: { '&.Mui-focusVisible': { outline: '2px solid', outlineOffset: -2 } } },
    },
    MuiTableSortLabel: { styleOverrides: { root: { '&.Mui-focusVisible': { outlineOffset: 2 } } } },
    MuiButton: { defaultProps: { disableElevation: true } },
    MuiTextField: { defaultProps: { size: 'small', fullWidth: true } },
    MuiAutocomplete: {
      // It floats over other fields, whose white is the same as its own.
      defaultProps: { size: 'small', slotProps: { paper: { elevation: 8 } } },
      styleOverrides: { paper: { border: '1px solid var(--mui-palette-divider)' } },
    },
    MuiFormControl: { defaultProps: { size: 'small' } },
    MuiTooltip: { defaultProps: { arrow: true, enterDelay: 300 } },
    MuiTableCell: {
      styleOverrides: {
        head: { color: 'var(--mui-palette-text-secondary)', fontWeight: 600, fontSize: '0.8125rem' },
      },
    },
    MuiLink: { defaultProps: { underline: 'hover' } },
  },
});
