export function About(_: { id: string }) { return <h1 tabIndex={-1}>About</h1>; }
