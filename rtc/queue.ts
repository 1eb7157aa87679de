/** First in, first out, without moving the rest at each step. */
export class Queue<Item> {
  #items: (Item | undefined)[] = [];
  /** Index of the next item. */
  #next = 0;

  get size(): number {
    return this.#items.length - this.#next;
  }

  push(item: Item): void {
    this.#items.push(item);
  }

  shift(): Item | undefined {
    if (this.size === 0) return undefined;
    const item = this.#items[this.#next];
    // It is not to be kept alive until the next splice.
    this.#items[this.#next++] = undefined;
    if (this.#next >= 1024 || this.size === 0) {
      this.#items.splice(0, this.#next);
      this.#next = 0;
    }
    return item;
  }

  /** Puts items in, and all in order. */
  insert(items: readonly Item[], compare: (a: Item, b: Item) => number): void {
    this.#items = [...this.#items.slice(this.#next) as Item[], ...items].sort(compare);
    this.#next = 0;
  }
}
