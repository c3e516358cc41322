"""A small mail server, as much of RFC 5321 as a sender needs.

    smtp_server.py NAME ADDRESS PORT LOG [LINES]

Greets with LINES lines (default 1). A session's commands before its greeting has been sent are an error, as for servers
that defend themselves against spammers (RFC 5321 section 4.3.1). LOG gets a line for each message that was taken:
`NAME SENDER RECIPIENT SHA256`.
"""

import asyncio
import hashlib
import sys


async def session(reader, writer, name, log, lines):
    async def reply(*texts):
        for number, text in enumerate(texts, 1):
            writer.write(f"{text[:3]}{' ' if number == len(texts) else '-'}{text[4:]}\r\n".encode())
        await writer.drain()

    # Whoever speaks before the greeting has done so by now, or not.
    try:
        await asyncio.wait_for(reader.readexactly(1), 0.2)
        await reply(f"554 {name} you speak too early")
        writer.close()
        return
    except asyncio.TimeoutError:
        pass
    except asyncio.IncompleteReadError:
        writer.close()
        return
    await reply(*[f"220 {name} ESMTP"] * lines)
    sender = recipient = ""
    while line := await reader.readline():
        word, _, rest = line.decode().strip().partition(" ")
        match word.upper():
            case "EHLO":
                await reply(f"250 {name} greets {rest}", "250 8BITMIME", "250 SIZE 100000000")
            case "HELO":
                await reply(f"250 {name}")
            case "MAIL":
                sender = rest[5:].split()[0]
                await reply("250 sender ok")
            case "RCPT":
                recipient = rest[3:]
                await reply("250 recipient ok")
            case "DATA":
                await reply("354 go on")
                digest = hashlib.sha256()
                while (line := await reader.readline()) not in (b".\r\n", b""):
                    digest.update(line[1:] if line.startswith(b".") else line)
                with open(log, "a") as file:
                    file.write(f"{name} {sender} {recipient} {digest.hexdigest()}\n")
                await reply(f"250 taken by {name}")
            case "QUIT":
                await reply(f"221 {name} closes")
                break
            case _:
                await reply("500 what?")
    writer.close()


async def main():
    name, address, port, log = sys.argv[1:5]
    lines = int(sys.argv[5]) if len(sys.argv) > 5 else 1
    server = await asyncio.start_server(
        lambda reader, writer: session(reader, writer, name, log, lines), address, int(port), limit=1 << 20)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
