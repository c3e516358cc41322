import Foundation

/// How text is laid out for whoever reads it.
public struct PrintStyle: Equatable, Sendable {
    /// Characters in a line; nil for no limit.
    public var width: Int?
    /// Headers stand out by escape sequences.
    public var isColoured: Bool

    public init(width: Int? = nil, isColoured: Bool = false) {
        self.width = width
        self.isColoured = isColoured
    }

    /// What fits standard output: a terminal's width, and emphasis unless NO_COLOR is set; neither for a pipe.
    public static func standardOutput() -> PrintStyle {
        guard isatty(STDOUT_FILENO) == 1 else { return PrintStyle() }
        var size = winsize()
        let hasSize = ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
        let isPlain = ProcessInfo.processInfo.environment["NO_COLOR"].map { !$0.isEmpty } ?? false
        return PrintStyle(width: hasSize ? Int(size.ws_col) : nil, isColoured: !isPlain)
    }

    func emphasised(_ text: String) -> String { isColoured ? "\u{1B}[1m\(text)\u{1B}[0m" : text }
}
