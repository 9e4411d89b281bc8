// The editor of a template, with menus of what it may name: a click puts a word where the cursor is.
import * as Menu from "@radix-ui/react-dropdown-menu";
import { useQuery } from "@tanstack/react-query";
import { useRef } from "react";
import { CodeEditor, type CodeHandle, type CodeProblem } from "../../ui/CodeEditor";
import type { FieldSpec, Word } from "../kind";

interface WordedEditorProps {
  label: string;
  hint?: string;
  locked: string | undefined;
  problems: readonly CodeProblem[];
  spec: Extract<FieldSpec, { as: "code" }>;
  value: string;
  onChange(value: string): void;
}

const NO_WORDS = async (): Promise<readonly Word[]> => [];

/** The menus and the editor. */
export function WordedEditor({ spec, locked, ...rest }: WordedEditorProps) {
  const handle = useRef<CodeHandle>(null);
  const words = useQuery({
    queryKey: ["objects", "words", spec.at.join("/")],
    queryFn: spec.words ?? NO_WORDS,
    enabled: spec.words !== undefined && locked === undefined,
  });
  const all = words.data ?? [];
  const groups = [...new Set(all.map((word) => word.group))];
  return (
    <div className="worded">
      {groups.length > 0 && (
        <div className="words" role="group" aria-label="Put in">
          {groups.map((group) => (
            <WordMenu
              key={group}
              group={group}
              words={all.filter((word) => word.group === group)}
              take={(text) => handle.current?.insert(text)}
            />
          ))}
        </div>
      )}
      <CodeEditor
        {...rest}
        locked={locked}
        handle={handle}
        lines={{ min: spec.words === undefined ? 4 : 14, max: 34 }}
        {...(spec.placeholder === undefined ? {} : { placeholder: spec.placeholder })}
      />
    </div>
  );
}

function WordMenu({ group, words, take }: { group: string; words: readonly Word[]; take(text: string): void }) {
  const taken = useRef<string | null>(null);
  return (
    <Menu.Root modal={false}>
      <Menu.Trigger className="word-group">
        <code>.{group}</code>
        <span aria-hidden="true">&#9662;</span>
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Content
          className="menu word-menu"
          align="start"
          sideOffset={4}
          onCloseAutoFocus={(event) => {
            // The editor has the focus afterwards: the word is typed there.
            if (taken.current === null) return;
            event.preventDefault();
            take(taken.current);
            taken.current = null;
          }}
        >
          {words.map(({ text, note }) => (
            <Menu.Item key={text} className="menu-item" onSelect={() => (taken.current = text)}>
              <code>{text}</code>
              {note !== undefined && <span className="menu-why">{note}</span>}
            </Menu.Item>
          ))}
        </Menu.Content>
      </Menu.Portal>
    </Menu.Root>
  );
}
