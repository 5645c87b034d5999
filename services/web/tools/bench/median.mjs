/** The middle one; of an even number the lower of the two in the middle. */
export function median(numbers) {
  return [...numbers].sort((a, b) => a - b)[(numbers.length - 1) >> 1];
}
