export function Campaign(_: { id: string }) { return <h1 tabIndex={-1}>Campaign</h1>; }
