// Reads what a source file says about itself: its opening comment and the comments on its
// constants. A comment after an empty line opens a section; one directly after another constant
// belongs to the constant that follows. It reads text, not syntax, and only the one form that
// proto/ uses.

const COMMENT = /^\s*\/\*\*\s?(.*?)\s*\*\/$/;
const CONSTANT = /^export const ([A-Z][A-Z0-9_]*) = ([^;{]+);$/;
const MEMBER = /^ {2}([A-Z][A-Z0-9_]*): /;

/** The prose with which a file opens, its lines joined. Throws when there is none. */
export function openingComment(text: string): string {
  const block = /^\/\*\*\n([\s\S]*?)\n \*\//.exec(text)?.[1];
  if (block === undefined) throw new Error("the file does not open with a comment");
  const lines = block.split("\n").map((line) => line.replace(/^ \* ?/, ""));
  return lines.join("\n").replaceAll(/(?<!\n)\n(?!\n)/g, " ");
}

export interface Section {
  readonly title: string;
  readonly rows: { readonly name: string; readonly value: string; readonly doc: string }[];
}

/** The exported constants with a plain value, by section. */
export function constantsOf(text: string): Section[] {
  const sections: Section[] = [];
  let doc = "";
  let previous = "";
  for (const line of text.split("\n")) {
    const comment = COMMENT.exec(line)?.[1];
    const constant = CONSTANT.exec(line);
    if (comment !== undefined && previous === "")
      sections.push({ title: heading(comment), rows: [] });
    else if (comment !== undefined) doc = comment;
    if (constant !== null) {
      const [, name, value] = constant;
      sections.at(-1)?.rows.push({ name: name!, value: plain(value!), doc });
    }
    if (comment === undefined) doc = "";
    previous = line.trim();
  }
  return sections.filter((section) => section.rows.length > 0);
}

const heading = (comment: string): string => comment.replace(/\.$/, "");
const plain = (value: string): string => value.replaceAll(/(?<=\d)_(?=\d)/g, ",");

/** The comment directly above each member of an object, by the member's name. */
export function rowDocs(text: string): Map<string, string> {
  const docs = new Map<string, string>();
  let doc = "";
  for (const line of text.split("\n")) {
    const member = MEMBER.exec(line)?.[1];
    if (member !== undefined && doc !== "") docs.set(member, doc);
    doc = COMMENT.exec(line)?.[1] ?? "";
  }
  return docs;
}
