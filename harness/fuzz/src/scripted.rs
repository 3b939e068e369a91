//! The other end of a connection on which requests are answered, whatever they are, by bytes that were made
//! up.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Ends the head of a request, and one without a body.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Waits for a request; whether one came.
pub async fn request(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut read = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece).await {
            Ok(length) if length > 0 => read.extend_from_slice(&piece[..length]),
            _ => return false,
        }
        if read.windows(HEAD_END.len()).any(|w| w == HEAD_END) {
            return true;
        }
    }
}

/// Answers one request after the other with these bytes, and hangs up.
pub async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, answers: Vec<Vec<u8>>) {
    for bytes in answers {
        if !request(&mut stream).await || stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
