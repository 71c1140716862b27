export function Library(_: { id: string }) { return <h1 tabIndex={-1}>Library</h1>; }
