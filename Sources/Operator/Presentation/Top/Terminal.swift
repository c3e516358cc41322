import Foundation
import Synchronization

/// The terminal while a program has all of it: the other screen, no cursor, keys as they are pressed. Given back on every
/// way out but SIGKILL.
final class Terminal {
    private let saved: termios
    /// Set by the signals that end a program.
    private static let isEnding = Atomic<Bool>(false)
    private static let isResized = Atomic<Bool>(true)

    /// nil when standard input or output is no terminal.
    init?() {
        var settings = termios()
        guard isatty(STDOUT_FILENO) == 1, tcgetattr(STDIN_FILENO, &settings) == 0 else { return nil }
        saved = settings
        settings.c_lflag &= ~tcflag_t(ICANON | ECHO)
        settings.c_cc.6 = 0  // VMIN
        settings.c_cc.5 = 0  // VTIME
        guard tcsetattr(STDIN_FILENO, TCSAFLUSH, &settings) == 0 else { return nil }
        for number in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
            signal(number) { _ in Terminal.isEnding.store(true, ordering: .relaxed) }
        }
        signal(SIGWINCH) { _ in Terminal.isResized.store(true, ordering: .relaxed) }
        // A pipe at the other end that has gone must not end the program before the terminal is itself again.
        signal(SIGPIPE, SIG_IGN)
        write("\u{1B}[?1049h\u{1B}[?25l")
    }

    deinit {
        write("\u{1B}[?25h\u{1B}[?1049l")
        var settings = saved
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &settings)
    }

    var isEnding: Bool { Self.isEnding.load(ordering: .relaxed) }

    /// True once after each change of the size.
    func takeResize() -> Bool { Self.isResized.exchange(false, ordering: .relaxed) }

    /// Columns and rows; 80 by 24 where the terminal does not say.
    var size: (width: Int, height: Int) {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else {
            return (80, 24)
        }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    /// Puts lines onto the screen in one write, each over what was there.
    func show(_ lines: [String]) {
        let text = lines.map { "\($0)\u{1B}[K" }.joined(separator: "\r\n")
        write("\u{1B}[H\(text)\u{1B}[J")
    }

    /// The keys pressed within so many milliseconds; none when a signal came. `quit` when the terminal has gone.
    func keys(withinMilliseconds milliseconds: Int32) -> [TopScreen.Key] {
        var poller = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
        guard poll(&poller, 1, max(0, milliseconds)) > 0 else { return [] }
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = read(STDIN_FILENO, &bytes, bytes.count)
        if count < 0 { return errno == EINTR ? [] : [.quit] }
        if count == 0 { return poller.revents & Int16(POLLHUP) != 0 ? [.quit] : [] }
        return TopScreen.Key.read(bytes[..<count])
    }

    private func write(_ text: String) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Foundation.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            bytes = bytes.dropFirst(count)
        }
    }
}

extension TopScreen.Key {
    /// Letters, and the arrows' escape sequences (`ESC [ A` or `ESC O A`).
    package static func read(_ bytes: ArraySlice<UInt8>) -> [TopScreen.Key] {
        var keys: [TopScreen.Key] = []
        var rest = bytes
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "q"), UInt8(ascii: "Q"), 3: keys.append(.quit)
            case UInt8(ascii: "r"), UInt8(ascii: "R"): keys.append(.reverse)
            case 0x1B where rest.first == UInt8(ascii: "[") || rest.first == UInt8(ascii: "O"):
                rest.removeFirst()
                switch rest.popFirst() {
                case UInt8(ascii: "A"): keys.append(.up)
                case UInt8(ascii: "B"): keys.append(.down)
                case UInt8(ascii: "C"): keys.append(.right)
                case UInt8(ascii: "D"): keys.append(.left)
                default: keys.append(.other)
                }
            default: keys.append(.other)
            }
        }
        return keys
    }
}
