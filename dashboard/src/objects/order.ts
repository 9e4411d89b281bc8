// Moving something in a list: pure.

/** The list with one of it moved a step; null where it cannot go further. */
export function movedItem<T>(list: readonly T[], index: number, step: 1 | -1): T[] | null {
  const item = list[index];
  const to = index + step;
  if (item === undefined || to < 0 || to >= list.length) return null;
  return list.filter((_, each) => each !== index).toSpliced(to, 0, item);
}
