/** First in, first out, without moving the rest at each step. */
export class Queue<Item> {
  #items: Item[] = [];
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
    const item = this.#items[this.#next++];
    if (this.#next >= 1024 || this.size === 0) {
      this.#items.splice(0, this.#next);
      this.#next = 0;
    }
    return item;
  }

  /** Puts items in, and all in order. */
  insert(items: readonly Item[], compare: (a: Item, b: Item) => number): void {
    this.#items = [...this.#items.slice(this.#next), ...items].sort(compare);
    this.#next = 0;
  }
}
