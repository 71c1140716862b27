export function Docs(_: { id: string }) { return <h1 tabIndex={-1}>Docs</h1>; }
