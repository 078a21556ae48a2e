export default async function News({ params }) {
  const { id } = await params;
  return <p>{`news ${decodeURIComponent(id)}`}</p>;
}
